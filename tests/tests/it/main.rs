//! System tests; one binary, so that the program is linked against once.

mod applications;
mod cluster;
mod faas;
mod functions;
mod input;
mod kill;
mod offline;
mod secrecy;
mod tracing;
mod trust;
