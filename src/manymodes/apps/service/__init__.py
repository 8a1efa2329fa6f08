"""Models over HTTP: JSON in, densities out; requests that wait together are answered by one forward pass."""
