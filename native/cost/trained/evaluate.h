// Asks one record of a model file.
#pragma once

#include "cost/trained/file.h"

namespace revati::cost::trained {

struct Answer {
    double seconds = 0;
    float confidence = 0;
};

// `inputs`: as many as `inputs_of(record.kind)`. False if the record does not apply or declines.
bool ask(const Record& record, const double* inputs, Answer* out);

}  // namespace revati::cost::trained
