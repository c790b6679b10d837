"use strict";

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger",
  deepLinking: true,
  displayRequestDuration: true,
  validatorUrl: null, // the default asks a public site
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
});
