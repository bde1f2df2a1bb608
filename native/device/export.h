// Symbol visibility: everything is hidden unless a fake library or a test needs it.
#pragma once
#define REVATI_API __attribute__((visibility("default")))
