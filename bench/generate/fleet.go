package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/drivemill/drivemill/bench/fleet"
)

// period is what of a fleet is written.
type period struct {
	from, to string
	drives   int
	seed     uint64
}

// write writes the days into a folder or a zip.
func (p period) write(to string, size int64) error {
	c := fleet.Config{Seed: p.seed}
	var err error
	if c.From, err = fleet.ParseDay(p.from); err != nil {
		return err
	}
	if c.To, err = fleet.ParseDay(p.to); err != nil {
		return err
	}
	days := int(c.To-c.From) + 1
	if p.drives == 0 {
		if p.drives, err = drivesFor(c, size/int64(max(1, days))); err != nil {
			return err
		}
	}
	c.Models = fleet.Catalog(p.drives, days)
	f, err := fleet.New(c)
	if err != nil {
		return err
	}
	count := f.Count(nil)
	if strings.HasSuffix(to, ".zip") {
		folder := strings.TrimSuffix(path.Base(to), ".zip") + "/"
		err = file(to, func(w io.Writer) error {
			_, err := f.WriteZip(w, c.From, c.To, fleet.ZipLayout{Folder: folder, Junk: true})
			return err
		})
	} else {
		if err := os.MkdirAll(to, 0o755); err != nil {
			return err
		}
		for day := c.From; day <= c.To && err == nil; day++ {
			err = file(filepath.Join(to, day.String()+".csv"), func(w io.Writer) error {
				_, err := f.WriteDay(w, day, fleet.Layout{})
				return err
			})
		}
	}
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d days, %d rows, %d failures, %d drives at the end\n", to, days, count.DriveDays, count.Failures, count.Drives)
	return nil
}

// drivesFor returns how many drives fill a day of that many bytes.
func drivesFor(c fleet.Config, day int64) (int, error) {
	const sample = 5000
	c.To, c.Models = c.From, fleet.Catalog(sample, 1)
	f, err := fleet.New(c)
	if err != nil {
		return 0, err
	}
	var buf bytes.Buffer
	n, err := f.WriteDay(&buf, c.From, fleet.Layout{})
	return int(day * int64(n) / int64(buf.Len())), err
}

// file makes a file of what content writes.
func file(name string, content func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	return errors.Join(content(w), w.Flush(), f.Close())
}
