package explore

import (
	"encoding/json"
	"testing"
)

// day makes counts of a day on which all drives have the details given.
func (d *DriveDays) day(day int32, model string, days, failures int64, details uint64) {
	c := &dayCounts{days: days, failures: failures}
	for j := range c.details {
		c.details[j] = 7 * uint64(days)
	}
	c.details[5] = details * uint64(days)
	d.cells[dayModel{day, model}] = c
}

func TestRestatement(t *testing.T) {
	before := NewDriveDays()
	after := before.Like()
	before.day(10, "same", 5, 0, 1)
	after.day(10, "same", 5, 0, 1)
	before.day(10, "M", 365, 1, 1)
	after.day(10, "M", 365, 0, 1)
	before.failed[failure{10, "M", "S1"}] = 1
	after.failed[failure{11, "M", "S1"}] = 1
	after.day(11, "M", 1, 1, 1)
	before.day(12, "M", 2, 0, 1)
	before.day(13, "M", 2, 0, 1)
	after.day(13, "M", 2, 0, 2)
	before.day(14, "gone", 4, 0, 1)
	var got string
	for _, r := range Restatement(before, after) {
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		got += string(text) + "\n"
	}
	const want = `{"kind":"day","date":"1970-01-11","model":"M","why":"failure_removed","drive_days":[365,365],"failures":[1,0]}
{"kind":"day","date":"1970-01-12","model":"M","why":"rows_added","drive_days":[0,1],"failures":[0,1]}
{"kind":"day","date":"1970-01-13","model":"M","why":"rows_removed","drive_days":[2,0],"failures":[0,0]}
{"kind":"day","date":"1970-01-14","model":"M","why":"changed: vault_id","drive_days":[2,2],"failures":[0,0]}
{"kind":"day","date":"1970-01-15","model":"gone","why":"rows_removed","drive_days":[4,0],"failures":[0,0]}
{"kind":"drive","date":"1970-01-11","model":"M","serial_number":"S1","why":"failure_removed","failures":[1,0]}
{"kind":"drive","date":"1970-01-12","model":"M","serial_number":"S1","why":"failure_added","failures":[0,1]}
{"kind":"model","model":"M","why":"days_moved","drive_days":[369,368],"failures":[1,1],"afr":[98.91598915989161,99.18478260869566]}
{"kind":"model","model":"gone","why":"days_moved","drive_days":[4,0],"failures":[0,0]}
`
	if got != want {
		t.Errorf("got\n%s", got)
	}
}
