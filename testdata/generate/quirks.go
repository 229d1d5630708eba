package main

import (
	"bytes"
	"strings"
)

// writeQuirks writes small daily files that each have an oddity of the real ones.
func writeQuirks(out *output) error {
	old := columns(smart2013)
	modern := columns(smart2023q3, "datacenter", "cluster_id", "vault_id", "pod_id", "pod_slot_num", "is_legacy_format")
	mk := func(date, serial string, more ...string) row {
		c := map[string]string{"date": date, "serial_number": serial, "model": "ST4000DM000",
			"capacity_bytes": "4000787030016", "failure": "0", "smart_1_raw": "0", "smart_9_raw": "12345"}
		for i := 0; i+1 < len(more); i += 2 {
			c[more[i]] = more[i+1]
		}
		return row{serial, c["model"], c}
	}
	file := func(eol string, names []string, rows ...row) []byte {
		lines := []string{strings.Join(names, ",")}
		for _, r := range rows {
			lines = append(lines, r.line(names))
		}
		return []byte(strings.Join(lines, eol) + eol)
	}
	headerOnly := file("\n", old)
	mac := file("\r", columns(smart2018q2),
		mk("2/25/18", "Z30QUIRK1"), mk("2/25/18", "Z30QUIRK2", "failure", "1"), mk("2018-02-25", "Z30QUIRK3"))
	mixed := file("\n", columns(smart2018q4),
		mk("2022-12-10", "Z30QUIRK1"), mk("2022-12-11", "Z30QUIRK1", "smart_9_raw", "12369"), mk("2022-12-10", "Z30QUIRK2"))
	infra := []string{"datacenter", "sac0", "cluster_id", "0", "vault_id", "1043", "pod_id", "0007", "pod_slot_num", "12", "is_legacy_format", "False"}
	placed := file("\n", modern,
		mk("2023-07-01", "Z30QUIRK1", infra...),
		mk("2023-07-01", "Z30QUIRK2", "datacenter", "", "vault_id", "1101", "pod_id", "0012", "is_legacy_format", "false"),
		mk("2023-07-01", "Z30QUIRK3", append(infra, "is_legacy_format", "true", "pod_slot_num", "")...))
	joined := bytes.Join([][]byte{
		file("\n", old, mk("2014-01-01", "Z30QUIRK1"), mk("2014-01-01", "Z30QUIRK2")),
		file("\n", old, mk("2014-01-02", "Z30QUIRK1")),
		file("\n", columns(smart2018q4), mk("2018-10-01", "Z30QUIRK1", "smart_231_raw", "99")),
	}, nil)
	quoted := []byte("date,serial_number,model,capacity_bytes,failure,smart_999_raw,foo_bar\r\n" +
		"2024-02-29,\"Z30QUIRK1\",\"ACME \"\"Red, 4 TB\"\"\",4000787030016,0,\"17\",\"two\r\nlines\"\r\n" +
		"2024-02-29,Z30QUIRK2,,,,,\r\n" +
		"2024-02-29,Z30QUIRK3,ST4000DM000,0,1,-3,é\r\n")
	for _, f := range []struct {
		name string
		data []byte
	}{
		{"2014-11-02.csv", headerOnly},
		{"2015-11-01.csv", nil},
		{"2018-02-25.csv", mac},
		{"2022-12-10.csv", mixed},
		{"2023-07-01.csv", placed},
		{"2024-02-29.csv", quoted},
		{"joined.csv", joined},
	} {
		if err := out.write("broken/drivestats/"+f.name, f.data); err != nil {
			return err
		}
	}
	return nil
}
