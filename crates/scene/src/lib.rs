//! lumigrad-scene
