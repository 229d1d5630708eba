//go:build !soak

package main

// selectionMiB is the size of the recording of TestSelectionOverS3.
const selectionMiB = 64
