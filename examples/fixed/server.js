// The service that the demo gates: it exists so that the lockfiles beside it belong to something that runs.
import express from "express";
import lodash from "lodash";

const orders = [{ id: 1, item: "tea", count: 2 }];
const app = express();

app.get("/orders", (_request, response) => response.json(lodash.sortBy(orders, "id")));
app.listen(process.env.PORT ?? 3000, "127.0.0.1");
