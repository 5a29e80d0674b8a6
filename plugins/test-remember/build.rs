//! Lays the guest's memory out.

fn main() {
    switchyard_sdk_build::guest();
}
