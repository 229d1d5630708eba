package rosmsg

// releases are the distributions of ROS 2 in the order of their release. Those
// before Dashing count as Dashing, unknown ones are told apart by Builtins.
var releases = []string{"dashing", "eloquent", "foxy", "galactic", "humble", "iron", "jazzy", "kilted", "lyrical", "rolling"}

// defaultRelease is the distribution of Builtin: releases from Iron on store
// definitions with the data.
const defaultRelease = "humble"

// builtinTable2 goes on with builtinTable for ROS 2 alone. A name with
// "<release " in front is that of earlier distributions, with ">=release " that
// of this one and later.
const builtinTable2 = `
action_msgs/
GoalInfo: unique_identifier_msgs/UUID goal_id, time stamp
GoalStatus: GoalInfo goal_info, int8 status
GoalStatusArray: GoalStatus[] status_list

actionlib_msgs/
GoalID: time stamp, string id
GoalStatus: GoalID goal_id, uint8 status, string text
GoalStatusArray: Header header, GoalStatus[] status_list

lifecycle_msgs/
State: uint8 id, string label
Transition: uint8 id, string label
TransitionDescription: Transition transition, State start_state, State goal_state
TransitionEvent: uint64 timestamp, Transition transition, State start_state, State goal_state

nav_msgs/
Goals: Header header, geometry_msgs/PoseStamped[] goals

rcl_interfaces/
FloatingPointRange: float64 from_value, float64 to_value, float64 step
IntegerRange: int64 from_value, int64 to_value, uint64 step
IntraProcessMessage: uint64 publisher_id, uint64 message_sequence
ListParametersResult: string[] names, string[] prefixes
LoggerLevel: string name, uint32 level
Parameter: string name, ParameterValue value
<galactic ParameterDescriptor: string name, uint8 type, string description, string additional_constraints, bool read_only, FloatingPointRange[<=1] floating_point_range, IntegerRange[<=1] integer_range
>=galactic ParameterDescriptor: string name, uint8 type, string description, string additional_constraints, bool read_only, bool dynamic_typing, FloatingPointRange[<=1] floating_point_range, IntegerRange[<=1] integer_range
ParameterEvent: time stamp, string node, Parameter[] new_parameters, Parameter[] changed_parameters, Parameter[] deleted_parameters
ParameterEventDescriptors: ParameterDescriptor[] new_parameters, ParameterDescriptor[] changed_parameters, ParameterDescriptor[] deleted_parameters
ParameterType:
ParameterValue: uint8 type, bool bool_value, int64 integer_value, float64 double_value, string string_value, byte[] byte_array_value, bool[] bool_array_value, int64[] integer_array_value, float64[] double_array_value, string[] string_array_value
SetLoggerLevelsResult: bool successful, string reason
SetParametersResult: bool successful, string reason

rmw_dds_common/
<iron Gid: char[24] data
>=iron Gid: char[16] data
NodeEntitiesInfo: string<=256 node_namespace, string<=256 node_name, Gid[] reader_gid_seq, Gid[] writer_gid_seq
ParticipantEntitiesInfo: Gid gid, NodeEntitiesInfo[] node_entities_info_seq

rosbag2_interfaces/
<jazzy ReadSplitEvent: string closed_file, string opened_file
>=jazzy ReadSplitEvent: string closed_file, string opened_file, string node_name
<jazzy WriteSplitEvent: string closed_file, string opened_file
>=jazzy WriteSplitEvent: string closed_file, string opened_file, string node_name

sensor_msgs/
<iron Range: Header header, uint8 radiation_type, float32 field_of_view, float32 min_range, float32 max_range, float32 range
>=iron Range: Header header, uint8 radiation_type, float32 field_of_view, float32 min_range, float32 max_range, float32 range, float32 variance

shape_msgs/
Mesh: MeshTriangle[] triangles, geometry_msgs/Point[] vertices
MeshTriangle: uint32[3] vertex_indices
Plane: float64[4] coef
<humble SolidPrimitive: uint8 type, float64[<=3] dimensions
>=humble SolidPrimitive: uint8 type, float64[<=3] dimensions, geometry_msgs/Polygon polygon

statistics_msgs/
MetricsMessage: string measurement_source_name, string metrics_source, string unit, time window_start, time window_stop, StatisticDataPoint[] statistics
StatisticDataPoint: uint8 data_type, float64 data
StatisticDataType:

stereo_msgs/
DisparityImage: Header header, sensor_msgs/Image image, float32 f, float32 t, sensor_msgs/RegionOfInterest valid_window, float32 min_disparity, float32 max_disparity, float32 delta_d

trajectory_msgs/
JointTrajectory: Header header, string[] joint_names, JointTrajectoryPoint[] points
JointTrajectoryPoint: float64[] positions, float64[] velocities, float64[] accelerations, float64[] effort, duration time_from_start
MultiDOFJointTrajectory: Header header, string[] joint_names, MultiDOFJointTrajectoryPoint[] points
MultiDOFJointTrajectoryPoint: geometry_msgs/Transform[] transforms, geometry_msgs/Twist[] velocities, geometry_msgs/Twist[] accelerations, duration time_from_start

type_description_interfaces/
Field: string name, FieldType type, string default_value
FieldType: uint8 type_id, uint64 capacity, uint64 string_capacity, string<=255 nested_type_name
IndividualTypeDescription: string<=255 type_name, Field[] fields
KeyValue: string key, string value
TypeDescription: IndividualTypeDescription type_description, IndividualTypeDescription[] referenced_type_descriptions
TypeSource: string type_name, string encoding, string raw_file_contents

unique_identifier_msgs/
UUID: uint8[16] uuid

visualization_msgs/
ImageMarker: Header header, string ns, int32 id, int32 type, int32 action, geometry_msgs/Point position, float32 scale, std_msgs/ColorRGBA outline_color, uint8 filled, std_msgs/ColorRGBA fill_color, duration lifetime, geometry_msgs/Point[] points, std_msgs/ColorRGBA[] outline_colors
InteractiveMarker: Header header, geometry_msgs/Pose pose, string name, string description, float32 scale, MenuEntry[] menu_entries, InteractiveMarkerControl[] controls
InteractiveMarkerControl: string name, geometry_msgs/Quaternion orientation, uint8 orientation_mode, uint8 interaction_mode, bool always_visible, Marker[] markers, bool independent_marker_orientation, string description
InteractiveMarkerFeedback: Header header, string client_id, string marker_name, string control_name, uint8 event_type, geometry_msgs/Pose pose, uint32 menu_entry_id, geometry_msgs/Point mouse_point, bool mouse_point_valid
InteractiveMarkerInit: string server_id, uint64 seq_num, InteractiveMarker[] markers
InteractiveMarkerPose: Header header, geometry_msgs/Pose pose, string name
InteractiveMarkerUpdate: string server_id, uint64 seq_num, uint8 type, InteractiveMarker[] markers, InteractiveMarkerPose[] poses, string[] erases
<humble Marker: Header header, string ns, int32 id, int32 type, int32 action, geometry_msgs/Pose pose, geometry_msgs/Vector3 scale, std_msgs/ColorRGBA color, duration lifetime, bool frame_locked, geometry_msgs/Point[] points, std_msgs/ColorRGBA[] colors, string text, string mesh_resource, bool mesh_use_embedded_materials
>=humble Marker: Header header, string ns, int32 id, int32 type, int32 action, geometry_msgs/Pose pose, geometry_msgs/Vector3 scale, std_msgs/ColorRGBA color, duration lifetime, bool frame_locked, geometry_msgs/Point[] points, std_msgs/ColorRGBA[] colors, string texture_resource, sensor_msgs/CompressedImage texture, UVCoordinate[] uv_coordinates, string text, string mesh_resource, MeshFile mesh_file, bool mesh_use_embedded_materials
MarkerArray: Marker[] markers
MenuEntry: uint32 id, uint32 parent_id, string title, string command, uint8 command_type
MeshFile: string filename, uint8[] data
UVCoordinate: float32 u, float32 v
`
