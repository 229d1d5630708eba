package rosmsg

import (
	"errors"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
)

// The hashes are those the types are published with.
var publishedMD5 = map[string]string{
	"std_msgs/Empty":                    "d41d8cd98f00b204e9800998ecf8427e",
	"std_msgs/Header":                   "2176decaecbce78abc3b96ef049fabed",
	"std_msgs/String":                   "992ce8a1687cec8c8bd883ec73ca41d1",
	"std_msgs/Float64":                  "fdb28210bfa9d7c91146260178d9a584",
	"geometry_msgs/Vector3":             "4a842b65f413084dc2b10fb484ea7f17",
	"geometry_msgs/Quaternion":          "a779879fadf0160734f906b8c19c7004",
	"geometry_msgs/Twist":               "9f195f881246fdfa2798d1d3eebca84a",
	"geometry_msgs/TwistStamped":        "98d34b0043a2093cf9d9345ab6eef12e",
	"geometry_msgs/Pose":                "e45d45a5a1ce597b249e23fb30fc871f",
	"geometry_msgs/PoseArray":           "916c28c5764443f268b296bb671b9d97",
	"geometry_msgs/PoseStamped":         "d3812c3cbc69362b77dc0b19b345f8f5",
	"geometry_msgs/PoseWithCovariance":  "c23e848cf1b7533a8d7c259073a97e6f",
	"geometry_msgs/PointStamped":        "c63aecb41bfdfd6b7e1fac37c7cbe7bf",
	"geometry_msgs/Transform":           "ac9eff44abf714214112b05d54a3cf9b",
	"geometry_msgs/TransformStamped":    "b5764a33bfeb3588febc2682852579b0",
	"geometry_msgs/TwistWithCovariance": "1fe8a28e6890a4cc3ae4c3ca5c7d82e6",
	"geometry_msgs/WrenchStamped":       "d78d3cb249ce23087ade7e7d0c40cfa7",
	"sensor_msgs/BatteryState":          "4ddae7f048e32fda22cac764685e3974",
	"sensor_msgs/CameraInfo":            "c9a58c1b0b154e0e6da7578cb991d214",
	"sensor_msgs/CompressedImage":       "8f7a12909da2c9d3332d540a0977563f",
	"sensor_msgs/FluidPressure":         "804dc5cea1c5306d6a2eb80b9833befe",
	"sensor_msgs/Image":                 "060021388200f6f0f447d0fcd9c64743",
	"sensor_msgs/Imu":                   "6a62c6daae103f4ff57a132d6f95cec2",
	"sensor_msgs/JointState":            "3066dcd76a6cfaef579bd0f34173e9fd",
	"sensor_msgs/Joy":                   "5a9ea5f83505693b71e785041e67a8bb",
	"sensor_msgs/LaserScan":             "90c7ef2dc6895d81024acba2ac42f369",
	"sensor_msgs/MagneticField":         "2f3b0b43eed0c9501de0fa3ff89a45aa",
	"sensor_msgs/NavSatFix":             "2d3a8cd499b9b4a0249fb98fd05cfa48",
	"sensor_msgs/PointCloud2":           "1158d486dd51d683ce2f1be655c3c181",
	"sensor_msgs/Range":                 "c005c34273dc426c67a020a87bc24148",
	"sensor_msgs/Temperature":           "ff71b307acdbe7c871a5a6d7ed359100",
	"sensor_msgs/TimeReference":         "fded64a0265108ba86c3d38fb11c0c16",
	"nav_msgs/OccupancyGrid":            "3381f2d731d4076ec5c71b0759edbe4e",
	"nav_msgs/Odometry":                 "cd5e73d190d741a2f92e81eda573aca7",
	"nav_msgs/Path":                     "6227e2b7e9cce15051f669a5e197bbf7",
	"tf2_msgs/TF2Error":                 "bc6848fd6fd750c92e38575618a4917d",
	"tf2_msgs/TFMessage":                "94810edda583a504dfda3829e70d7eec",
	"tf/tfMessage":                      "94810edda583a504dfda3829e70d7eec",
	"diagnostic_msgs/DiagnosticArray":   "60810da900de1dd6ddd437c3503511da",
	"rosgraph_msgs/Clock":               "a9c97c1d230cfc112e270351a944ee47",
	"rosgraph_msgs/Log":                 "acffd30cd6b6de30f120938c17c593fb",
	"rosgraph_msgs/TopicStatistics":     "10152ed868c5097a5e2e4a89d7daa710",
}

func Test04BuiltinMD5(t *testing.T) {
	for name, want := range publishedMD5 {
		typ, err := Builtin(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := typ.MD5(); got != want {
			t.Errorf("%s: hash %s, published %s", name, got, want)
		}
	}
}

// fieldless are types that have no fields, or constants only.
var fieldless = map[string]bool{
	"std_msgs/Empty": true, "std_msgs/msg/Empty": true, "rcl_interfaces/msg/ParameterType": true, "statistics_msgs/msg/StatisticDataType": true,
}

func TestBuiltinAll(t *testing.T) {
	for _, v := range []Version{ROS1, ROS2} {
		for _, name := range BuiltinNames(v) {
			typ, err := Builtin(name)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if typ.Name != name || typ.Version != v {
				t.Errorf("%s came back as %s, version %d", name, typ.Name, typ.Version)
			}
			if len(typ.Columns()) == 0 && !fieldless[typ.Name] {
				t.Errorf("%s has no columns", name)
			}
		}
	}
	for _, name := range []string{"sensor_msgs/Nonsense", "sensor_msgs/msg/Nonsense", "std_msgs/msg/Time", "builtin_interfaces/Time", ""} {
		if _, err := Builtin(name); !errors.Is(err, pipeline.ErrNotFound) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
