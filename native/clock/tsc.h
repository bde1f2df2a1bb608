// Libraries that read the processor's time stamp counter themselves.
#pragma once

namespace revati::clock {

// libzmq caches the time by the counter, which does not jump with us: after a jump it would wait long for a
// short time-out. Its reader falls back to clock_gettime() where the counter reads zero, as it does on
// processors that have none; so it is made to read zero. Cheap to call often: looks only at libraries loaded
// since the last call.
void patch_time_stamp_readers();

}  // namespace revati::clock
