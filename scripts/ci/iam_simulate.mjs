// SPDX-License-Identifier: Apache-2.0
// Asks iam-simulate for the decisions that its standard input describes: JSON, a list of simulations. Answers with the
// list of its verdicts: "Allowed" or another word, and what it left out of the request.
// tests/long/test_another_evaluator.py runs it in a folder that has that package and nothing of ours.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const found = createRequire(join(process.cwd(), "package.json")).resolve("@cloud-copilot/iam-simulate");
const { runSimulation } = await import(pathToFileURL(found));

async function verdict(simulation) {
  const answer = await runSimulation(simulation, { simulationMode: "Strict" });
  if (answer.resultType === "error") return { error: JSON.stringify(answer.errors) };
  const results = answer.resultType === "single" ? [answer.result] : answer.results;
  return { decision: answer.overallResult, ignored: results.flatMap((result) => result.ignoredContextKeys ?? []) };
}

const answers = [];
for (const simulation of JSON.parse(readFileSync(0, "utf8"))) answers.push(await verdict(simulation));
process.stdout.write(JSON.stringify(answers));
