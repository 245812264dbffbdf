//! lumigrad-testkit
