package main

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline/explore"
)

// rowMaps reads rows printed as NDJSON; numbers stay as they are printed.
func rowMaps(t *testing.T, text string) []map[string]any {
	t.Helper()
	var out []map[string]any
	for line := range strings.Lines(text) {
		d := json.NewDecoder(strings.NewReader(line))
		d.UseNumber()
		row := make(map[string]any)
		if err := d.Decode(&row); err != nil {
			t.Fatal(err)
		}
		out = append(out, row)
	}
	return out
}

// withFolder are the recordings of the sample drive, the rosbag2 among them.
var withFolder = append(slices.Clone(sampleRecordings), "v04/20260302T081500Z/roof")

// The sample drive as MDF4 has the rows that it has as a bag, as MCAP and as
// rosbag2: the values of the channels both have, and the log times, to the last
// nanosecond.
func TestSampleDriveAsMDF4(t *testing.T) {
	root := filepath.Join(repoRoot(t), "testdata")
	tables := []struct {
		name, topic string
		rows        int // of the files that hold the whole drive
		columns     string
	}{
		{"roof/odom", "/odom", 1200, "twist.twist.linear.x twist.twist.angular.z"},
		{"roof/imu", "/imu", 1000, "linear_acceleration.x linear_acceleration.y angular_velocity.z"},
		{"roof/gps_fix", "/gps/fix", 300, "latitude longitude altitude status.status"},
		{"roof/vehicle_state", "/vehicle/state", 600, "speed steering_angle gear odometer_ticks since_start driver_note"},
	}
	for _, table := range tables {
		columns := strings.Fields(table.columns)
		var drives [][]map[string]any
		for _, rec := range withFolder {
			uri := filepath.Join(root, "drives", filepath.FromSlash(rec))
			drives = append(drives, rowMaps(t, rowsOf(t, uri, explore.CatOptions{Tables: []string{table.topic}, Columns: append([]string{"log_time"}, columns...)})))
		}
		for _, file := range []string{"sorted", "deflate", "transposed", "unsorted", "columns"} {
			want := table.rows
			if file == "unsorted" || file == "columns" {
				want /= 3 // the first 20 of 60 seconds
				if table.topic == "/odom" || table.topic == "/imu" {
					continue // these files do not have them
				}
			}
			uri := filepath.Join(root, "mdf4", file+".mf4")
			got := rowMaps(t, rowsOf(t, uri, explore.CatOptions{Tables: []string{table.name}, Columns: append([]string{"time"}, columns...)}))
			if len(got) != want {
				t.Errorf("%s: %s: %d rows, want %d", file, table.name, len(got), want)
				continue
			}
			for i, row := range got {
				row["log_time"] = row["time"]
				delete(row, "time")
				for k, drive := range drives {
					if !reflect.DeepEqual(row, drive[i]) {
						t.Fatalf("%s: %s: row %d is\n%v\nin %s\n%v", file, table.name, i, row, withFolder[k], drive[i])
					}
				}
			}
		}
	}
}
