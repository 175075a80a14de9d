//! Cutover: command line.
fn main() {}
