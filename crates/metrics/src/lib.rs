//! lumigrad-metrics
