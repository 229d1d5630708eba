// Command generate writes a synthetic recording for measurements by hand:
//
//	go run ./bench/generate -mb 1024 -compression zstd /data/big.mcap
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"

	"github.com/drivemill/drivemill/bench"
)

func main() {
	mb := flag.Int64("mb", 1024, "size of the messages in MiB")
	compression := flag.String("compression", "zstd", "zstd, lz4 or empty")
	topics := flag.Int("topics", 1, "copies of each topic")
	flag.Parse()
	if err := write(flag.Arg(0), bench.Workload{Bytes: *mb << 20, Compression: *compression, Topics: *topics}); err != nil {
		fmt.Fprintln(os.Stderr, err)
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
