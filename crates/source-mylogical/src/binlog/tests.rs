//! Events, as servers write them, and as nobody should.
