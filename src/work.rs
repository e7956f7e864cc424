//! Jobs that wait for whoever is idle.
