// Package rosmsg reads ROS message definitions, the text that says how the
// bytes of a message are laid out, and gives the columns of a message type.
//
// A definition as bags and MCAP files hold it is the .msg text of the root
// type followed by the texts of all types it uses. Before each of those stand
// a line of 80 equals signs and a line "MSG: pkg/Type":
//
//	std_msgs/Header header
//	float64[9] covariance
//	================================================================================
//	MSG: std_msgs/Header
//	uint32 seq
//	time stamp
//	string frame_id
//
// Two grammars are read: ROS 1 (genmsg; schema encoding ros1msg) and ROS 2
// (rosidl_adapter; schema encoding ros2msg). They differ in more than they
// seem to: byte is signed in ROS 1 only, "=" makes a constant anywhere in a
// ROS 1 line, defaults and bounds exist in ROS 2 only, and a bare Header is
// std_msgs/Header in ROS 1 whatever the package. Definitions in OMG IDL are
// refused as unsupported, also where they are labelled .msg; package idl reads
// them.
//
// Types that ROS 2 derives from services and actions (pkg/srv/S_Event,
// pkg/action/A_FeedbackMessage, ...) are put together from the text of the
// service or action, where that is what was recorded.
//
// Types that the text does not define are taken from the built-in standard
// types, see Builtin.
//
// Readers are more lenient than the tools that write definitions where that
// cannot change the layout: names need only be identifiers, tabs separate like
// spaces, lines may end in CR LF, defaults are not checked.
package rosmsg
