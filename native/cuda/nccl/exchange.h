// The work of a group: collectives and messages, each posted first and completed later.
#pragma once

#include <vector>

#include "cuda/nccl/communicator.h"

namespace revati::nccl {

Result run_collectives(const std::vector<Collective>& collectives);
Result run_messages(const std::vector<PointToPoint>& messages);

}  // namespace revati::nccl
