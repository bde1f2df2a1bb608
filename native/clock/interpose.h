// Marks a function that takes the place of the C library's.
#pragma once

#define REVATI_INTERPOSE extern "C" __attribute__((visibility("default")))
