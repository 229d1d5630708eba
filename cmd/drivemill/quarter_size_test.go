//go:build !soak

package main

// quarterDrives is the size of the fleet of TestQuarterOverS3.
const quarterDrives = 500
