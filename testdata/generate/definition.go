package main

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Definitions of the messages, as ROS 1 spells them: bare types, fields and
// constants. A type comes after those it uses.
var definitions = []struct{ name, text string }{
	{"std_msgs/Header", "uint32 seq\ntime stamp\nstring frame_id\n"},
	{"geometry_msgs/Point", "float64 x\nfloat64 y\nfloat64 z\n"},
	{"geometry_msgs/Vector3", "float64 x\nfloat64 y\nfloat64 z\n"},
	{"geometry_msgs/Quaternion", "float64 x\nfloat64 y\nfloat64 z\nfloat64 w\n"},
	{"geometry_msgs/Pose", "Point position\nQuaternion orientation\n"},
	{"geometry_msgs/Twist", "Vector3 linear\nVector3 angular\n"},
	{"geometry_msgs/PoseWithCovariance", "Pose pose\nfloat64[36] covariance\n"},
	{"geometry_msgs/TwistWithCovariance", "Twist twist\nfloat64[36] covariance\n"},
	{"sensor_msgs/NavSatStatus", `int8 STATUS_NO_FIX =  -1
int8 STATUS_FIX =      0
int8 STATUS_SBAS_FIX = 1
int8 STATUS_GBAS_FIX = 2
int8 status
uint16 SERVICE_GPS =     1
uint16 SERVICE_GLONASS = 2
uint16 SERVICE_COMPASS = 4
uint16 SERVICE_GALILEO = 8
uint16 service
`},
	{"sensor_msgs/NavSatFix", `Header header
NavSatStatus status
float64 latitude
float64 longitude
float64 altitude
float64[9] position_covariance
uint8 COVARIANCE_TYPE_UNKNOWN = 0
uint8 COVARIANCE_TYPE_APPROXIMATED = 1
uint8 COVARIANCE_TYPE_DIAGONAL_KNOWN = 2
uint8 COVARIANCE_TYPE_KNOWN = 3
uint8 position_covariance_type
`},
	{"nav_msgs/Odometry", `Header header
string child_frame_id
geometry_msgs/PoseWithCovariance pose
geometry_msgs/TwistWithCovariance twist
`},
	{"sensor_msgs/Imu", `Header header
geometry_msgs/Quaternion orientation
float64[9] orientation_covariance
geometry_msgs/Vector3 angular_velocity
float64[9] angular_velocity_covariance
geometry_msgs/Vector3 linear_acceleration
float64[9] linear_acceleration_covariance
`},
	{"demo_msgs/VehicleState", `Header header
float32 speed
float32 steering_angle
int8 GEAR_PARK = 0
int8 GEAR_REVERSE = -1
int8 gear
uint64 odometer_ticks
bool brake
string driver_note
duration since_start
uint16[] wheel_ticks
`},
	{"sensor_msgs/CompressedImage", "Header header\nstring format\nuint8[] data\n"},
	{"sensor_msgs/Image", "Header header\nuint32 height\nuint32 width\nstring encoding\nuint8 is_bigendian\nuint32 step\nuint8[] data\n"},
	{"sensor_msgs/PointField", `uint8 INT8    = 1
uint8 UINT8   = 2
uint8 INT16   = 3
uint8 UINT16  = 4
uint8 INT32   = 5
uint8 UINT32  = 6
uint8 FLOAT32 = 7
uint8 FLOAT64 = 8
string name
uint32 offset
uint8  datatype
uint32 count
`},
	{"sensor_msgs/PointCloud2", `Header header
uint32 height
uint32 width
PointField[] fields
bool is_bigendian
uint32 point_step
uint32 row_step
uint8[] data
bool is_dense
`},
	{"sensor_msgs/LaserScan", `Header header
float32 angle_min
float32 angle_max
float32 angle_increment
float32 time_increment
float32 scan_time
float32 range_min
float32 range_max
float32[] ranges
float32[] intensities
`},
	{"diagnostic_msgs/KeyValue", "string key\nstring value\n"},
	{"diagnostic_msgs/DiagnosticStatus", `byte OK=0
byte WARN=1
byte ERROR=2
byte STALE=3
byte level
string name
string message
string hardware_id
KeyValue[] values
`},
	{"can_msgs/Frame", "Header header\nuint32 id\nbool is_rtr\nbool is_extended\nbool is_error\nuint8 dlc\nuint8[8] data\n"},
	{"diagnostic_msgs/DiagnosticArray", "Header header\nDiagnosticStatus[] status\n"},
}

// dialect is one generation of ROS: its spelling of the definitions and its
// serialization.
type dialect struct {
	ros2  bool
	types map[string]*msgType
}

// msgType is a parsed definition.
type msgType struct {
	name   string
	text   string
	consts []constant
	fields []field
}

type constant struct{ typ, name, value string }

type field struct {
	typ    string // element type, resolved: float64, time, sensor_msgs/NavSatStatus
	suffix string // "", "[]" or "[9]"
	size   int    // elements of a fixed array
	name   string
}

// toROS2 rewrites a definition: ROS 2 has no sequence number in the header,
// and its times are messages.
var toROS2 = strings.NewReplacer(
	"uint32 seq\n", "",
	"Header header\n", "std_msgs/Header header\n",
	"time stamp\n", "builtin_interfaces/Time stamp\n",
	"duration since_start\n", "builtin_interfaces/Duration since_start\n",
	"float64 z\nfloat64 w\n", "float64 z 0\nfloat64 w 1\n",
)

func newDialect(ros2 bool) *dialect {
	d := &dialect{ros2: ros2, types: map[string]*msgType{}}
	if ros2 {
		d.add("builtin_interfaces/Time", "int32 sec\nuint32 nanosec\n")
		d.add("builtin_interfaces/Duration", "int32 sec\nuint32 nanosec\n")
	}
	for _, def := range definitions {
		text := def.text
		if ros2 {
			text = toROS2.Replace(text)
		}
		d.add(def.name, text)
	}
	return d
}

func (d *dialect) add(name, text string) {
	t := &msgType{name: name, text: text}
	pkg, _, _ := strings.Cut(name, "/")
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if decl, value, ok := strings.Cut(line, "="); ok {
			w := strings.Fields(decl)
			t.consts = append(t.consts, constant{w[0], w[1], strings.TrimSpace(value)})
			continue
		}
		w := strings.Fields(line) // a third word is a default, which is not on the wire
		f := field{typ: w[0], name: w[1]}
		if i := strings.IndexByte(f.typ, '['); i >= 0 {
			f.typ, f.suffix = f.typ[:i], f.typ[i:]
			if f.suffix != "[]" {
				n, err := strconv.Atoi(strings.Trim(f.suffix, "[]"))
				if err != nil {
					panic(fmt.Sprintf("definition of %s: %v", name, err))
				}
				f.size = n
			}
		}
		if f.typ == "Header" {
			f.typ = "std_msgs/Header"
		} else if c := f.typ[0]; c >= 'A' && c <= 'Z' {
			f.typ = pkg + "/" + f.typ
		}
		t.fields = append(t.fields, f)
	}
	d.types[name] = t
}

// fullText is the definition of a type followed by those of the types it uses,
// in the order in which they first appear.
func (d *dialect) fullText(name string) string {
	parts := []string{d.types[name].text}
	seen := map[string]bool{name: true}
	var walk func(*msgType)
	walk = func(t *msgType) {
		for _, f := range t.fields {
			dep := d.types[f.typ]
			if dep == nil || seen[dep.name] {
				continue
			}
			seen[dep.name] = true
			parts = append(parts, strings.Repeat("=", 80), "MSG: "+dep.name, dep.text)
			walk(dep)
		}
	}
	walk(d.types[name])
	return strings.Join(parts, "\n")
}

// md5sum identifies a ROS 1 type: constants, then fields, with the sums of
// message types in place of their names.
func (d *dialect) md5sum(name string) string {
	t := d.types[name]
	var b strings.Builder
	for _, c := range t.consts {
		fmt.Fprintf(&b, "%s %s=%s\n", c.typ, c.name, c.value)
	}
	for _, f := range t.fields {
		if _, nested := d.types[f.typ]; nested {
			fmt.Fprintf(&b, "%s %s\n", d.md5sum(f.typ), f.name)
		} else {
			fmt.Fprintf(&b, "%s%s %s\n", f.typ, f.suffix, f.name)
		}
	}
	sum := md5.Sum([]byte(strings.TrimSuffix(b.String(), "\n")))
	return hex.EncodeToString(sum[:])
}

// schemaName is how containers name a type: ROS 2 puts msg in the middle.
func (d *dialect) schemaName(name string) string {
	if d.ros2 {
		return strings.Replace(name, "/", "/msg/", 1)
	}
	return name
}
