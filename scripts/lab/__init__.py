"""Bad lines in a box: two network namespaces joined by an emulated link in user space."""
