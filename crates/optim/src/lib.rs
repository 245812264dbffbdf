//! lumigrad-optim
