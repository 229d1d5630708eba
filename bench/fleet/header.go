package fleet

import (
	"slices"
	"strconv"
)

// placement are the columns that tell where a drive is.
var placement = []string{"datacenter", "cluster_id", "vault_id", "pod_id", "pod_slot_num", "is_legacy_format"}

// eras lists what was added to the header, and from which day on.
var eras = []struct {
	from  Day
	smart []int
	place []string
}{
	{Date(2013, 4, 10), []int{
		1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 15, 183, 184, 187, 188, 189, 190, 191, 192, 193, 194, 195, 196, 197,
		198, 199, 200, 201, 223, 225, 240, 241, 242, 250, 251, 252, 254, 255,
	}, nil},
	{Date(2015, 1, 1), []int{22, 220, 222, 224, 226}, nil},
	{Date(2018, 1, 1), []int{177, 179, 181, 182, 235}, nil},
	{Date(2018, 4, 1), []int{23, 24}, nil},
	{Date(2018, 10, 1), []int{16, 17, 168, 170, 173, 174, 218, 231, 232, 233}, nil},
	{Date(2019, 10, 1), []int{18}, nil},
	{Date(2020, 10, 1), []int{175, 180, 202, 206, 210, 234, 245, 247, 248}, nil},
	{Date(2021, 7, 1), []int{160, 161, 163, 164, 165, 166, 167, 169, 176, 178}, nil},
	{Date(2021, 10, 1), []int{171, 172, 230, 244, 246}, nil},
	{Date(2023, 4, 1), []int{71, 90}, []string{"vault_id", "pod_id", "is_legacy_format"}},
	{Date(2023, 7, 1), []int{27, 82}, placement},
	{Date(2024, 4, 1), []int{211, 212}, placement},
}

// Eras are the first days of the layouts, in order.
func Eras() []Day {
	var out []Day
	for _, e := range eras {
		out = append(out, e.from)
	}
	return out
}

// Header returns the columns of the file of a day.
func Header(day Day) []string {
	out := []string{"date", "serial_number", "model", "capacity_bytes", "failure"}
	var smart []int
	var place []string
	for i, e := range eras {
		if i == 0 || day >= e.from {
			smart, place = append(smart, e.smart...), e.place
		}
	}
	out = append(out, place...)
	slices.Sort(smart)
	for _, id := range smart {
		n := "smart_" + strconv.Itoa(id)
		out = append(out, n+"_normalized", n+"_raw")
	}
	return out
}
