//! What is found in pairs that are made up.
