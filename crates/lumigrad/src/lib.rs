//! lumigrad
