//! lumigrad-geometry
