package fleet

import (
	"strconv"
	"strings"
	"time"
)

// PeriodStart returns the first day of the period that a day lies in, 0 for a
// lifetime. Days count from 1970; kind is day, month, quarter, year or lifetime.
func PeriodStart(kind string, day int32) int32 {
	if kind == "day" {
		return day
	}
	t := time.Unix(int64(day)*86400, 0).UTC()
	y, m := t.Year(), t.Month()
	switch kind {
	case "quarter":
		m = (m-1)/3*3 + 1
	case "year":
		m = 1
	case "lifetime":
		return 0
	}
	return int32(time.Date(y, m, 1, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

// PeriodName spells a period: 2021-Q3, 2021-09, 2021.
func PeriodName(kind string, start int32) string {
	t := time.Unix(int64(start)*86400, 0).UTC()
	switch kind {
	case "day":
		return t.Format(time.DateOnly)
	case "month":
		return t.Format("2006-01")
	case "quarter":
		return strings.Join([]string{t.Format("2006"), "-Q", strconv.Itoa(int(t.Month()+2) / 3)}, "")
	case "year":
		return t.Format("2006")
	}
	return "lifetime"
}
