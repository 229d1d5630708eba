package fleet

import "testing"

func TestFind(t *testing.T) {
	for _, c := range []struct{ reported, name, maker, class string }{
		{"WDC WUH721816ALE6L4", "WUH721816ALE6L4", "WDC", DataHDD},
		{"WUH721816ALE6L4", "WUH721816ALE6L4", "WDC", DataHDD},
		{"HGST HUH721212ALE600", "HUH721212ALE600", "WDC", DataHDD},
		{"Hitachi HDS722020ALA330", "HDS722020ALA330", "WDC", DataHDD},
		{"TOSHIBA MG08ACA16TE", "MG08ACA16TE", "Toshiba", DataHDD},
		{"TOSHIBA MG08ACA16TEY", "MG08ACA16TEY", "Toshiba", DataHDD},
		{"TOSHIBA  MQ01ABF050M", "MQ01ABF050M", "Toshiba", BootHDD},
		{"ST4000DM000", "ST4000DM000", "Seagate", DataHDD},
		{"ST500LM012 HN", "ST500LM012 HN", "Seagate", BootHDD},
		{"CT250MX500SSD1", "CT250MX500SSD1", "Crucial", BootSSD},
		{"MTFDDAV240TCB", "MTFDDAV240TCB", "Micron", BootSSD},
		{"Micron 5300 MTFDDAK480TDS", "Micron 5300 MTFDDAK480TDS", "Micron", BootSSD},
		{"SSDSCKKB480G8R", "SSDSCKKB480G8R", "Intel", BootSSD},
		{"DELLBOSS VD", "DELLBOSS VD", "Dell", BootSSD},
		{"Seagate SSD", "Seagate SSD", "Seagate", BootSSD},
		{"Seagate BarraCuda 120 SSD ZA250CM10003", "Seagate BarraCuda 120 SSD ZA250CM10003", "Seagate", BootSSD},
		{"Seagate IronWolf ZA250NM10002", "Seagate IronWolf ZA250NM10002", "Seagate", BootSSD},
		{"WDC WDS250G2B0A", "WDS250G2B0A", "WDC", BootSSD},
		{"WD Blue SA510 2.5 250GB", "WD Blue SA510 2.5 250GB", "WDC", BootSSD},
		{"Samsung SSD 850 EVO 1TB", "Samsung SSD 850 EVO 1TB", "Samsung", BootSSD},
		{"WDC WD5000LPVX", "WD5000LPVX", "WDC", BootHDD},
		{"\tWDC\x00 WD60EFRX ", "WD60EFRX", "WDC", DataHDD},
		{"", Unknown, Unknown, DataHDD},
		{"00MD00", "00MD00", Unknown, DataHDD},
	} {
		m := Find(c.reported)
		if m.Name != c.name || m.Maker != c.maker || m.Class != c.class {
			t.Errorf("%q is %+v, want %+v", c.reported, m, c)
		}
		if again := Find(m.Name); again.Name != m.Name || again.Maker != m.Maker || again.Class != m.Class {
			t.Errorf("%q looked up twice is %+v, once %+v", c.reported, again, m)
		}
	}
}

func TestClassify(t *testing.T) {
	m := Find("Vendor X1")
	for _, c := range []struct {
		capacity, day int64
		class         string
	}{{500e9, lastSmall + 1, BootHDD}, {500e9, lastSmall, DataHDD}, {0, 20000, DataHDD}, {1e12, 20000, DataHDD}} {
		if got := m.Classify(c.capacity, c.day); got != c.class {
			t.Errorf("%d bytes on day %d: %s", c.capacity, c.day, got)
		}
	}
}

func TestCleanCapacity(t *testing.T) {
	t.Run("10 absurd capacities", func(t *testing.T) {
		for _, v := range []int64{-1, 0, 600332565813390450, 1e15} {
			if _, ok := CleanCapacity(v); ok {
				t.Errorf("%d is believed", v)
			}
		}
		if v, ok := CleanCapacity(4000787030016); !ok || v != 4000787030016 {
			t.Error("4 TB is not believed")
		}
	})
}
