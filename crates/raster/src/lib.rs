//! lumigrad-raster
