"""The shared library of localmodel: resources, ports, controller runtime, store layout, eviction, errors."""
