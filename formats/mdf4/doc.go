// Package mdf4 reads ASAM MDF 4 recordings.
package mdf4
