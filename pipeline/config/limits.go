package config

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
)

// Limits say how much of a run may go wrong before it counts as failed.
type Limits struct {
	FailedUnits  Limit                     `yaml:"failed_units" doc:"Units that may fail for good: a number or a percentage." example:"2%"`
	LostRows     Limit                     `yaml:"lost_rows" doc:"Rows that an index promised and that could not be read." example:"0.1%"`
	LostBytes    Limit                     `yaml:"lost_bytes" doc:"Bytes that could not be read, where rows are unknown." example:"1%"`
	RejectedRows Limit                     `yaml:"rejected_rows" doc:"Rows refused by decoders, stages or outputs." example:"1000"`
	Tables       pipeline.Map[TableLimits] `yaml:"tables" doc:"What is expected of lake tables, by name or glob."`
}

// TableLimits are what is expected of one table.
type TableLimits struct {
	LeastRows int64 `yaml:"least_rows" doc:"Rows that a run must write." example:"1000"`
}

// Limit is a number, or a percentage of what there is. Empty means none: what
// nobody limited is reported, but breaks nothing. Units that fail are limited to
// none unless something else is said.
type Limit string

// Validate checks the limits.
func (l *Limits) Validate(issues *pipeline.Issues) {
	for _, f := range []struct {
		key string
		l   Limit
	}{{"failed_units", l.FailedUnits}, {"lost_rows", l.LostRows}, {"lost_bytes", l.LostBytes}, {"rejected_rows", l.RejectedRows}} {
		if _, _, err := f.l.parse(); err != nil {
			issues.Addf(pipeline.Pos{}, "limits."+f.key, "%v", err)
		}
	}
	for _, e := range l.Tables.Entries {
		if _, err := CompileGlob(e.Key.Value); err != nil {
			issues.Add(e.Key.Issuef(0, "%s: %v", quote(e.Key.Value), err))
		}
	}
}

func (l Limit) parse() (n float64, percent bool, err error) {
	if l == "" {
		return 0, false, nil
	}
	s, percent := strings.CutSuffix(string(l), "%")
	n, err = strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || !(n >= 0) || percent && n > 100 {
		return 0, percent, fmt.Errorf("want a number or a percentage such as 0.1%%, got %s", quote(string(l)))
	}
	return n, percent, nil
}

// Allows reports whether n out of total is within the limit.
func (l Limit) Allows(n, total int64) bool {
	most, percent, _ := l.parse()
	if percent {
		most = most / 100 * float64(total)
	}
	return float64(n) <= most
}
