// Command generate writes synthetic data for measurements by hand: a recording,
//
//	go run ./bench/generate -mb 1024 -compression zstd /data/big.mcap
//
// or the daily files of a fleet of drives, into a folder or, where the name ends
// in .zip, as members of an archive:
//
//	go run ./bench/generate -fleet -from 2022-10-01 -to 2022-10-30 -mb 1024 /data/month
//	go run ./bench/generate -fleet -from 2021-07-01 -to 2021-09-30 -drives 5000 /data/data_Q3_2021.zip
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"

	"github.com/drivemill/drivemill/bench"
)

func main() {
	mb := flag.Int64("mb", 1024, "size of the messages, or of the daily files together, in MiB")
	compression := flag.String("compression", "zstd", "zstd, lz4 or empty")
	topics := flag.Int("topics", 1, "copies of each topic")
	fleet := flag.Bool("fleet", false, "write the daily files of a fleet of drives")
	days := period{}
	flag.StringVar(&days.from, "from", "2022-10-01", "first day of the fleet")
	flag.StringVar(&days.to, "to", "2022-10-30", "last day of the fleet")
	flag.IntVar(&days.drives, "drives", 0, "drives on the first day; 0: as many as -mb wants")
	flag.Uint64Var(&days.seed, "seed", 1, "what the fleet follows from")
	flag.Parse()
	var err error
	if *fleet {
		err = days.write(flag.Arg(0), *mb<<20)
	} else {
		err = write(flag.Arg(0), bench.Workload{Bytes: *mb << 20, Compression: *compression, Topics: *topics})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func write(path string, w bench.Workload) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(f, 1<<20)
	n, size, err := w.Write(out)
	if err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	fmt.Printf("%s: %d messages, %d bytes\n", path, n, size)
	return f.Close()
}
