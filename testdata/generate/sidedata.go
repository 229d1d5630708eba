package main

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// writeSideData writes what recordings are joined with: weather and roads.
func writeSideData(out *output) error {
	if err := out.write("weather/weather.csv", weather()); err != nil {
		return err
	}
	stations := "vehicle_id,station,station_name,elevation_m\n" +
		"v01,EDX1,Feldmark Nord,58\n" +
		"v02,EDX1,Feldmark Nord,58\n" +
		"v03,EDX2,\"Alte Mühle, Süd\",74\n"
	if err := out.write("weather/stations.csv", []byte(stations)); err != nil {
		return err
	}
	return out.write("map/roads.geojson", roads())
}

// weather is one day, hour by hour, at two stations.
func weather() []byte {
	r := newRandom(42)
	var b strings.Builder
	b.WriteString("key,ts,hour,station,temperature_c,humidity_pct,wind_mps,condition\n")
	midnight := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	for h := range 24 {
		ts := midnight.Add(time.Duration(h) * time.Hour)
		warmth := 4.5 - 5*math.Cos(float64(h-3)/24*2*math.Pi)
		for i, station := range []string{"EDX1", "EDX2"} {
			condition := "clear"
			switch {
			case h < 6:
				condition = "fog"
			case h < 11:
				condition = "light rain"
			case h < 15:
				condition = "cloudy"
			}
			wind := fmt.Sprint(round(3+r.noise(2), 1))
			if h == 13 && i == 1 {
				wind = "" // a gust broke the vane
			}
			hour := ts.Format("2006-01-02T15")
			fmt.Fprintf(&b, "%s/%s,%s,%s,%s,%g,%d,%s,%s\n", station, hour, ts.Format(time.RFC3339), hour, station,
				round(warmth-float64(i)*0.7+r.noise(0.4), 1), 60+r.below(35), wind, condition)
		}
	}
	return []byte(b.String())
}

// roads is a small map around the drive. The first road follows the car.
func roads() []byte {
	var own [][2]float64
	for i, p := range track() {
		if i%500 == 0 {
			own = append(own, [2]float64{p.x, p.y})
		}
	}
	all := []struct {
		id, name, class string
		limit           int
		line            [][2]float64 // metres east and north of the origin
	}{
		{"r01", "Landstraße West", "secondary", 70, own},
		{"r02", "Mühlenweg", "residential", 30, [][2]float64{{60, -40}, {72, 35}, {80, 140}}},
		{"r03", "Am Feldrain", "track", 20, [][2]float64{{-90, 20}, {-10, 24}, {44, 18}}},
		{"r04", "Ringstraße", "primary", 100, [][2]float64{{-200, 300}, {40, 330}, {310, 320}, {620, 260}}},
		{"r05", "Bahnhofstraße", "residential", 50, [][2]float64{{210, 40}, {205, 160}, {190, 320}}},
		{"r06", "Querweg", "service", 10, [][2]float64{{120, 90}, {150, 60}}},
		{"r07", "Lindenallee", "residential", 30, [][2]float64{{300, 100}, {330, 180}, {340, 318}}},
		{"r08", "Kanalbrücke", "secondary", 60, [][2]float64{{420, 150}, {520, 170}, {610, 250}}},
		{"r09", "Industriestraße", "tertiary", 50, [][2]float64{{-150, -120}, {30, -110}, {240, -60}}},
		{"r10", "Alte Poststraße", "tertiary", 50, [][2]float64{{430, 420}, {470, 300}, {500, 180}}},
	}
	var b strings.Builder
	b.WriteString("{\"type\":\"FeatureCollection\",\"features\":[\n")
	for i, r := range all {
		var points []string
		for _, p := range r.line {
			points = append(points, fmt.Sprintf("[%.6f,%.6f]", originLon+p[0]/metresPerLon, originLat+p[1]/metresPerLat))
		}
		fmt.Fprintf(&b, `{"type":"Feature","id":%q,"properties":{"road_id":%q,"name":%q,"class":%q,"speed_limit_kmh":%d},"geometry":{"type":"LineString","coordinates":[%s]}}`,
			r.id, r.id, r.name, r.class, r.limit, strings.Join(points, ","))
		if i < len(all)-1 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
	}
	b.WriteString("]}\n")
	return []byte(b.String())
}
