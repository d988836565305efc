//! The gateway's own configuration: KDL read into raw values, validated with every mistake at once.
