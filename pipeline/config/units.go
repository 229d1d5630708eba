package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/drivemill/drivemill/pipeline"
)

var errUnit = errors.New("not understood")

// parseDuration reads Go's notation, with days in front: 2d, 1d12h, 1h30m.
func parseDuration(s string) (time.Duration, error) {
	days, rest, ok := strings.Cut(s, "d")
	if !ok {
		return time.ParseDuration(s)
	}
	n, err := strconv.ParseInt(days, 10, 64)
	if err != nil || n > 100_000 || n < -100_000 {
		return 0, errUnit
	}
	out := time.Duration(n) * 24 * time.Hour
	if rest == "" {
		return out, nil
	}
	more, err := time.ParseDuration(rest)
	if err != nil || rest[0] < '0' || rest[0] > '9' || more >= 24*time.Hour {
		return 0, errUnit
	}
	if strings.HasPrefix(days, "-") {
		more = -more
	}
	return out + more, nil
}

var sizeUnits = []struct {
	suffix string
	factor float64
}{
	// Longest first, since B ends them all.
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
	{"B", 1}, {"", 1},
}

// ParseSize reads a number of bytes: 4096, 16MiB, 1.5GB.
func ParseSize(s string) (pipeline.Size, error) {
	for _, u := range sizeUnits {
		num, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		num = strings.TrimSpace(num)
		if strings.Trim(num, "0123456789.") != "" {
			return 0, errUnit
		}
		if n, err := strconv.ParseInt(num, 10, 64); err == nil && u.factor == 1 {
			return pipeline.Size(n), nil
		}
		x, err := strconv.ParseFloat(num, 64)
		if err != nil {
			return 0, errUnit
		}
		if x *= u.factor; x != math.Trunc(x) || x >= 1<<63 {
			return 0, errUnit
		}
		return pipeline.Size(x), nil
	}
	return 0, errUnit
}
