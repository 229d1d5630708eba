package rosmsg

// builtinTable lists standard message types, a package per paragraph and a
// type per line: its name, a colon, constants and fields. A name with "1 " or
// "2 " in front belongs to that version of ROS alone. time and duration are
// builtin_interfaces in ROS 2. Constants of ROS 1 are here because they are
// part of a type's hash.
const builtinTable = `
builtin_interfaces/
2 Time: int32 sec, uint32 nanosec
2 Duration: int32 sec, uint32 nanosec

std_msgs/
1 Header: uint32 seq, time stamp, string frame_id
2 Header: time stamp, string frame_id
Empty:
Bool: bool data
Byte: byte data
Char: char data
Int8: int8 data
Int16: int16 data
Int32: int32 data
Int64: int64 data
UInt8: uint8 data
UInt16: uint16 data
UInt32: uint32 data
UInt64: uint64 data
Float32: float32 data
Float64: float64 data
String: string data
1 Time: time data
1 Duration: duration data
ColorRGBA: float32 r, float32 g, float32 b, float32 a
MultiArrayDimension: string label, uint32 size, uint32 stride
MultiArrayLayout: MultiArrayDimension[] dim, uint32 data_offset
ByteMultiArray: MultiArrayLayout layout, byte[] data
Int8MultiArray: MultiArrayLayout layout, int8[] data
Int16MultiArray: MultiArrayLayout layout, int16[] data
Int32MultiArray: MultiArrayLayout layout, int32[] data
Int64MultiArray: MultiArrayLayout layout, int64[] data
UInt8MultiArray: MultiArrayLayout layout, uint8[] data
UInt16MultiArray: MultiArrayLayout layout, uint16[] data
UInt32MultiArray: MultiArrayLayout layout, uint32[] data
UInt64MultiArray: MultiArrayLayout layout, uint64[] data
Float32MultiArray: MultiArrayLayout layout, float32[] data
Float64MultiArray: MultiArrayLayout layout, float64[] data

geometry_msgs/
Vector3: float64 x, float64 y, float64 z
Vector3Stamped: Header header, Vector3 vector
Point: float64 x, float64 y, float64 z
Point32: float32 x, float32 y, float32 z
PointStamped: Header header, Point point
Quaternion: float64 x, float64 y, float64 z, float64 w
QuaternionStamped: Header header, Quaternion quaternion
Pose: Point position, Quaternion orientation
Pose2D: float64 x, float64 y, float64 theta
PoseArray: Header header, Pose[] poses
PoseStamped: Header header, Pose pose
PoseWithCovariance: Pose pose, float64[36] covariance
PoseWithCovarianceStamped: Header header, PoseWithCovariance pose
Polygon: Point32[] points
PolygonStamped: Header header, Polygon polygon
2 PolygonInstance: Polygon polygon, int64 id
2 PolygonInstanceStamped: Header header, PolygonInstance polygon
Transform: Vector3 translation, Quaternion rotation
TransformStamped: Header header, string child_frame_id, Transform transform
Twist: Vector3 linear, Vector3 angular
TwistStamped: Header header, Twist twist
TwistWithCovariance: Twist twist, float64[36] covariance
TwistWithCovarianceStamped: Header header, TwistWithCovariance twist
Accel: Vector3 linear, Vector3 angular
AccelStamped: Header header, Accel accel
AccelWithCovariance: Accel accel, float64[36] covariance
AccelWithCovarianceStamped: Header header, AccelWithCovariance accel
Wrench: Vector3 force, Vector3 torque
WrenchStamped: Header header, Wrench wrench
Inertia: float64 m, Vector3 com, float64 ixx, float64 ixy, float64 ixz, float64 iyy, float64 iyz, float64 izz
InertiaStamped: Header header, Inertia inertia
2 VelocityStamped: Header header, string body_frame_id, string reference_frame_id, Twist velocity

sensor_msgs/
1 BatteryState: uint8 POWER_SUPPLY_STATUS_UNKNOWN=0, uint8 POWER_SUPPLY_STATUS_CHARGING=1, uint8 POWER_SUPPLY_STATUS_DISCHARGING=2, uint8 POWER_SUPPLY_STATUS_NOT_CHARGING=3, uint8 POWER_SUPPLY_STATUS_FULL=4, uint8 POWER_SUPPLY_HEALTH_UNKNOWN=0, uint8 POWER_SUPPLY_HEALTH_GOOD=1, uint8 POWER_SUPPLY_HEALTH_OVERHEAT=2, uint8 POWER_SUPPLY_HEALTH_DEAD=3, uint8 POWER_SUPPLY_HEALTH_OVERVOLTAGE=4, uint8 POWER_SUPPLY_HEALTH_UNSPEC_FAILURE=5, uint8 POWER_SUPPLY_HEALTH_COLD=6, uint8 POWER_SUPPLY_HEALTH_WATCHDOG_TIMER_EXPIRE=7, uint8 POWER_SUPPLY_HEALTH_SAFETY_TIMER_EXPIRE=8, uint8 POWER_SUPPLY_TECHNOLOGY_UNKNOWN=0, uint8 POWER_SUPPLY_TECHNOLOGY_NIMH=1, uint8 POWER_SUPPLY_TECHNOLOGY_LION=2, uint8 POWER_SUPPLY_TECHNOLOGY_LIPO=3, uint8 POWER_SUPPLY_TECHNOLOGY_LIFE=4, uint8 POWER_SUPPLY_TECHNOLOGY_NICD=5, uint8 POWER_SUPPLY_TECHNOLOGY_LIMN=6, Header header, float32 voltage, float32 temperature, float32 current, float32 charge, float32 capacity, float32 design_capacity, float32 percentage, uint8 power_supply_status, uint8 power_supply_health, uint8 power_supply_technology, bool present, float32[] cell_voltage, float32[] cell_temperature, string location, string serial_number
2 BatteryState: Header header, float32 voltage, float32 temperature, float32 current, float32 charge, float32 capacity, float32 design_capacity, float32 percentage, uint8 power_supply_status, uint8 power_supply_health, uint8 power_supply_technology, bool present, float32[] cell_voltage, float32[] cell_temperature, string location, string serial_number
RegionOfInterest: uint32 x_offset, uint32 y_offset, uint32 height, uint32 width, bool do_rectify
1 CameraInfo: Header header, uint32 height, uint32 width, string distortion_model, float64[] D, float64[9] K, float64[9] R, float64[12] P, uint32 binning_x, uint32 binning_y, RegionOfInterest roi
2 CameraInfo: Header header, uint32 height, uint32 width, string distortion_model, float64[] d, float64[9] k, float64[9] r, float64[12] p, uint32 binning_x, uint32 binning_y, RegionOfInterest roi
ChannelFloat32: string name, float32[] values
CompressedImage: Header header, string format, uint8[] data
FluidPressure: Header header, float64 fluid_pressure, float64 variance
Illuminance: Header header, float64 illuminance, float64 variance
Image: Header header, uint32 height, uint32 width, string encoding, uint8 is_bigendian, uint32 step, uint8[] data
Imu: Header header, geometry_msgs/Quaternion orientation, float64[9] orientation_covariance, geometry_msgs/Vector3 angular_velocity, float64[9] angular_velocity_covariance, geometry_msgs/Vector3 linear_acceleration, float64[9] linear_acceleration_covariance
JointState: Header header, string[] name, float64[] position, float64[] velocity, float64[] effort
Joy: Header header, float32[] axes, int32[] buttons
JoyFeedback: uint8 TYPE_LED=0, uint8 TYPE_RUMBLE=1, uint8 TYPE_BUZZER=2, uint8 type, uint8 id, float32 intensity
JoyFeedbackArray: JoyFeedback[] array
LaserEcho: float32[] echoes
LaserScan: Header header, float32 angle_min, float32 angle_max, float32 angle_increment, float32 time_increment, float32 scan_time, float32 range_min, float32 range_max, float32[] ranges, float32[] intensities
MultiEchoLaserScan: Header header, float32 angle_min, float32 angle_max, float32 angle_increment, float32 time_increment, float32 scan_time, float32 range_min, float32 range_max, LaserEcho[] ranges, LaserEcho[] intensities
MagneticField: Header header, geometry_msgs/Vector3 magnetic_field, float64[9] magnetic_field_covariance
MultiDOFJointState: Header header, string[] joint_names, geometry_msgs/Transform[] transforms, geometry_msgs/Twist[] twist, geometry_msgs/Wrench[] wrench
NavSatStatus: int8 STATUS_NO_FIX=-1, int8 STATUS_FIX=0, int8 STATUS_SBAS_FIX=1, int8 STATUS_GBAS_FIX=2, uint16 SERVICE_GPS=1, uint16 SERVICE_GLONASS=2, uint16 SERVICE_COMPASS=4, uint16 SERVICE_GALILEO=8, int8 status, uint16 service
NavSatFix: uint8 COVARIANCE_TYPE_UNKNOWN=0, uint8 COVARIANCE_TYPE_APPROXIMATED=1, uint8 COVARIANCE_TYPE_DIAGONAL_KNOWN=2, uint8 COVARIANCE_TYPE_KNOWN=3, Header header, NavSatStatus status, float64 latitude, float64 longitude, float64 altitude, float64[9] position_covariance, uint8 position_covariance_type
PointField: uint8 INT8=1, uint8 UINT8=2, uint8 INT16=3, uint8 UINT16=4, uint8 INT32=5, uint8 UINT32=6, uint8 FLOAT32=7, uint8 FLOAT64=8, string name, uint32 offset, uint8 datatype, uint32 count
PointCloud: Header header, geometry_msgs/Point32[] points, ChannelFloat32[] channels
PointCloud2: Header header, uint32 height, uint32 width, PointField[] fields, bool is_bigendian, uint32 point_step, uint32 row_step, uint8[] data, bool is_dense
1 Range: uint8 ULTRASOUND=0, uint8 INFRARED=1, Header header, uint8 radiation_type, float32 field_of_view, float32 min_range, float32 max_range, float32 range
RelativeHumidity: Header header, float64 relative_humidity, float64 variance
Temperature: Header header, float64 temperature, float64 variance
TimeReference: Header header, time time_ref, string source

nav_msgs/
GridCells: Header header, float32 cell_width, float32 cell_height, geometry_msgs/Point[] cells
MapMetaData: time map_load_time, float32 resolution, uint32 width, uint32 height, geometry_msgs/Pose origin
OccupancyGrid: Header header, MapMetaData info, int8[] data
Odometry: Header header, string child_frame_id, geometry_msgs/PoseWithCovariance pose, geometry_msgs/TwistWithCovariance twist
Path: Header header, geometry_msgs/PoseStamped[] poses

tf2_msgs/
TF2Error: uint8 NO_ERROR=0, uint8 LOOKUP_ERROR=1, uint8 CONNECTIVITY_ERROR=2, uint8 EXTRAPOLATION_ERROR=3, uint8 INVALID_ARGUMENT_ERROR=4, uint8 TIMEOUT_ERROR=5, uint8 TRANSFORM_ERROR=6, uint8 error, string error_string
TFMessage: geometry_msgs/TransformStamped[] transforms

tf/
1 tfMessage: geometry_msgs/TransformStamped[] transforms

diagnostic_msgs/
KeyValue: string key, string value
DiagnosticStatus: byte OK=0, byte WARN=1, byte ERROR=2, byte STALE=3, byte level, string name, string message, string hardware_id, KeyValue[] values
DiagnosticArray: Header header, DiagnosticStatus[] status

rosgraph_msgs/
Clock: time clock
1 Log: byte DEBUG=1, byte INFO=2, byte WARN=4, byte ERROR=8, byte FATAL=16, Header header, byte level, string name, string msg, string file, string function, uint32 line, string[] topics
1 TopicStatistics: string topic, string node_pub, string node_sub, time window_start, time window_stop, int32 delivered_msgs, int32 dropped_msgs, int32 traffic, duration period_mean, duration period_stddev, duration period_max, duration stamp_age_mean, duration stamp_age_stddev, duration stamp_age_max

service_msgs/
2 ServiceEventInfo: uint8 event_type, time stamp, char[16] client_gid, int64 sequence_number

unique_identifier_msgs/
2 UUID: uint8[16] uuid

rcl_interfaces/
2 Log: time stamp, uint8 level, string name, string msg, string file, string function, uint32 line
`
