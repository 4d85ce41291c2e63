// Bodies and parameters are checked against openapi.json itself: the contract and the code can't drift apart.

import { Ajv2020 } from 'ajv/dist/2020.js';
import { Problem } from './problems.js';

/** Give `body(name)` and `query(operationId)`: middleware that refuses what the document does not allow. */
export function createValidator(document) {
  const ajv = new Ajv2020({ allErrors: false, strict: false });
  const coercing = new Ajv2020({ coerceTypes: true, useDefaults: true, strict: false });
  ajv.addSchema(document, 'openapi');

  function body(name) {
    const validate = ajv.getSchema(`openapi#/components/schemas/${name}`);
    return (req, res, next) => {
      if (!req.is('application/json')) throw new Problem(415, 'The body must be application/json', {}, { Accept: 'application/json' });
      if (!validate(req.body)) throw refusal(validate.errors);
      next();
    };
  }

  function query(operationId) {
    const operation = Object.values(document.paths).flatMap((path) => Object.values(path)).find((one) => one.operationId === operationId);
    const parameters = operation.parameters.filter((parameter) => parameter.in === 'query');
    const validate = coercing.compile({
      type: 'object',
      properties: Object.fromEntries(parameters.map(({ name, schema }) => [name, schema])),
      additionalProperties: false,
    });
    return (req, res, next) => {
      const given = { ...req.query };
      if (!validate(given)) throw refusal(validate.errors);
      res.locals.query = given;
      next();
    };
  }

  return { body, query };
}

function refusal(errors) {
  const list = errors.map((error) => ({
    pointer: error.instancePath,
    detail: [error.message, error.params.additionalProperty].filter(Boolean).join(': '),
  }));
  return new Problem(400, 'The request does not fit its description', { errors: list });
}

/** Read a path parameter that must be a positive whole number. */
export function readId(req) {
  const { id } = req.params;
  if (!/^[1-9]\d{0,15}$/.test(id) || !Number.isSafeInteger(Number(id))) throw new Problem(400, 'The id must be a positive whole number');
  return Number(id);
}
