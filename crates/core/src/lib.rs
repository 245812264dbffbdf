//! lumigrad-core
