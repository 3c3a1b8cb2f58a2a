function inner() {
  require("fs").rmdirSync("/probe");
}

function outer() {
  inner();
}

outer();
