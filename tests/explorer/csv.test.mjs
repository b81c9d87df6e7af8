import assert from "node:assert/strict";
import test from "node:test";

import { csv } from "../../service/pageroles/web/csv.js";

test("rows are CSV, with quotes where they are needed", () => {
  assert.equal(csv([["page", "sessions"], ['https://a.example/"x",y', 1234]]),
    'page,sessions\r\n"https://a.example/""x"",y",1234\r\n');
});

test("no text becomes a formula", () => {
  assert.equal(csv([["=1+1", "+x", "-x", "@x", "\tx", -1]]), "'=1+1,'+x,'-x,'@x,'\tx,-1\r\n");
});
