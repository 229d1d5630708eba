// Command generate writes the sample data under testdata: one synthetic drive
// in three recording formats, a week of drive statistics, a weather table, a
// small map and a CAN recording with its databases, each with the rows a reader must find in it.
//
// Run it from the root of the repository:
//
//	go run ./testdata/generate
//
// It draws on no clock, no host and no map order: a second run writes the same
// bytes. Readers and generator share no code, so that the expected rows, which
// come from the values and never from decoding, are an independent witness.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if _, err := os.Stat("go.mod"); err != nil {
		fmt.Fprintln(os.Stderr, "generate: run me from the root of the repository")
		os.Exit(2)
	}
	if err := generate("testdata"); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

// generate writes everything below dir.
func generate(dir string) error {
	out := &output{dir: dir}
	for _, part := range []func(*output) error{writeDrives, writeSensors, writeBroken, writeDriveStats, writeQuirks, writeSideData, writeCAN} {
		if err := part(out); err != nil {
			return err
		}
	}
	return nil
}

// output puts files below a directory.
type output struct{ dir string }

func (o *output) write(name string, data []byte) error {
	path := filepath.Join(o.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}
