#include "cwitness.h"
