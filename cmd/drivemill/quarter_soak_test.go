//go:build soak

package main

// quarterDrives is the size of the fleet of TestQuarterOverS3: 1.5 GB of daily
// files in a zip of about 300 MB.
const quarterDrives = 45_000
